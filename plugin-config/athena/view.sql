-- The fields that the official plugin has too as columns, named as they are with _ for the dot: ct.user is ct_user,
-- s3.bucket is s3_bucket. All but ct.info, which is for people. Ask for days, accounts and regions, for Athena reads
-- and bills only those:
--
--     SELECT ct_time, ct_user, ct_srcip, ct_error FROM cloudtrail
--     WHERE day BETWEEN '2024/03/01' AND '2024/03/31' AND ct_name = 'ConsoleLogin'
CREATE OR REPLACE VIEW cloudtrail AS
SELECT
    eventid AS ct_id,
    errorcode AS ct_error,
    errormessage AS ct_errormessage,
    eventtime AS ct_time,
    eventsource AS ct_src,
    regexp_replace(eventsource, '[.]amazonaws[.]com$', '') AS ct_shortsrc,
    eventname AS ct_name,
    CASE
        WHEN useridentity.type = 'AWSService' THEN useridentity.invokedby
        WHEN useridentity.type = 'AssumedRole'
            THEN COALESCE(useridentity.sessioncontext.sessionissuer.username, 'AssumedRole')
        WHEN useridentity.type IN ('AWSAccount', 'FederatedUser') THEN useridentity.type
        ELSE useridentity.username
    END AS ct_user,
    CASE
        WHEN useridentity.type <> 'AssumedRole' OR useridentity.type IS NULL THEN useridentity.username
        WHEN cardinality(split(useridentity.arn, '/')) = 3 THEN split_part(useridentity.arn, '/', 3)
        WHEN cardinality(split(useridentity.principalid, ':')) = 2 THEN split_part(useridentity.principalid, ':', 2)
    END AS ct_originaluser,
    COALESCE(useridentity.accountid, recipientaccountid) AS ct_user_accountid,
    useridentity.type AS ct_user_identitytype,
    useridentity.principalid AS ct_user_principalid,
    useridentity.arn AS ct_user_arn,
    awsregion AS ct_region,
    json_extract_scalar(responseelements, '$.subnetId') AS ct_response_subnetid,
    json_extract_scalar(responseelements, '$.reservationId') AS ct_response_reservationid,
    responseelements AS ct_response,
    json_extract_scalar(requestparameters, '$.availabilityZone') AS ct_request_availabilityzone,
    json_extract_scalar(requestparameters, '$.cluster') AS ct_request_cluster,
    json_extract_scalar(requestparameters, '$.functionName') AS ct_request_functionname,
    json_extract_scalar(requestparameters, '$.groupName') AS ct_request_groupname,
    json_extract_scalar(requestparameters, '$.Host') AS ct_request_host,
    json_extract_scalar(requestparameters, '$.name') AS ct_request_name,
    COALESCE(
        json_extract_scalar(requestparameters, '$.policy'),
        json_format(json_extract(requestparameters, '$.policy'))) AS ct_request_policy,
    json_extract_scalar(requestparameters, '$.reason') AS ct_request_reason,
    json_extract_scalar(requestparameters, '$.target') AS ct_request_target,
    json_extract_scalar(requestparameters, '$.documentName') AS ct_request_documentname,
    json_extract_scalar(requestparameters, '$.serialNumber') AS ct_request_serialnumber,
    json_extract_scalar(requestparameters, '$.serviceName') AS ct_request_servicename,
    json_extract_scalar(requestparameters, '$.subnetId') AS ct_request_subnetid,
    json_extract_scalar(requestparameters, '$.taskDefinition') AS ct_request_taskdefinition,
    json_extract_scalar(requestparameters, '$.userName') AS ct_request_username,
    requestparameters AS ct_request,
    sourceipaddress AS ct_srcip,
    useragent AS ct_useragent,
    managementevent AS ct_managementevent,
    readonly AS ct_readonly,
    requestid AS ct_requestid,
    eventtype AS ct_eventtype,
    apiversion AS ct_apiversion,
    array_join(transform(resources, resource -> resource.arn), ',') AS ct_resources, -- only their ARNs
    recipientaccountid AS ct_recipientaccountid,
    serviceeventdetails AS ct_serviceeventdetails,
    sharedeventid AS ct_sharedeventid,
    vpcendpointid AS ct_vpcendpointid,
    eventcategory AS ct_eventcategory,
    addendum.reason AS ct_addendum_reason,
    addendum.updatedfields AS ct_addendum_updatedfields,
    addendum.originalrequestid AS ct_addendum_originalrequestid,
    addendum.originaleventid AS ct_addendum_originaleventid,
    sessioncredentialfromconsole AS ct_sessioncredentialfromconsole,
    edgedevicedetails AS ct_edgedevicedetails,
    tlsdetails.tlsversion AS ct_tlsdetails_tlsversion,
    tlsdetails.ciphersuite AS ct_tlsdetails_ciphersuite,
    tlsdetails.clientprovidedhostheader AS ct_tlsdetails_clientprovidedhostheader,
    additionaleventdata AS ct_additionaleventdata,
    's3://' || json_extract_scalar(requestparameters, '$.bucketName') || '/'
        || json_extract_scalar(requestparameters, '$.key') AS s3_uri,
    json_extract_scalar(requestparameters, '$.bucketName') AS s3_bucket,
    json_extract_scalar(requestparameters, '$.key') AS s3_key,
    COALESCE(
        CAST(CAST(json_extract_scalar(additionaleventdata, '$.bytesTransferredIn') AS DOUBLE) AS BIGINT)
            + COALESCE(
                CAST(CAST(json_extract_scalar(additionaleventdata, '$.bytesTransferredOut') AS DOUBLE) AS BIGINT), 0),
        CAST(CAST(json_extract_scalar(additionaleventdata, '$.bytesTransferredOut') AS DOUBLE) AS BIGINT)) AS s3_bytes,
    CAST(CAST(json_extract_scalar(additionaleventdata, '$.bytesTransferredIn') AS DOUBLE) AS BIGINT) AS s3_bytes_in,
    CAST(CAST(json_extract_scalar(additionaleventdata, '$.bytesTransferredOut') AS DOUBLE) AS BIGINT) AS s3_bytes_out,
    CASE WHEN eventname = 'GetObject' THEN 1 END AS s3_cnt_get,
    CASE WHEN eventname = 'PutObject' THEN 1 END AS s3_cnt_put,
    CASE WHEN eventname IN ('GetObject', 'PutObject') THEN NULL ELSE 1 END AS s3_cnt_other,
    -- The tag Name of the request's first tag specification that is for instances.
    json_extract_scalar(
        element_at(
            filter(
                CAST(json_extract(
                    element_at(
                        filter(
                            CAST(json_extract(requestparameters, '$.tagSpecificationSet.items') AS ARRAY(JSON)),
                            item -> json_extract_scalar(item, '$.resourceType') = 'instance'),
                        1),
                    '$.tags') AS ARRAY(JSON)),
                tag -> json_extract_scalar(tag, '$.key') = 'Name'),
            1),
        '$.value') AS ec2_name,
    COALESCE(
        json_extract_scalar(responseelements, '$.instancesSet.items[0].imageId'),
        json_extract_scalar(requestparameters, '$.imageId'),
        json_extract_scalar(requestparameters, '$.DescribeFastLaunchImagesRequest.ImageId.content'),
        json_extract_scalar(requestparameters, '$.launchSpecification.imageId')) AS ec2_imageid,
    filter(
        COALESCE(
            transform(
                CAST(json_extract(responseelements, '$.instancesSet.items') AS ARRAY(JSON)),
                item -> json_extract_scalar(item, '$.imageId')),
            ARRAY[COALESCE(
                json_extract_scalar(requestparameters, '$.imageId'),
                json_extract_scalar(requestparameters, '$.DescribeFastLaunchImagesRequest.ImageId.content'),
                json_extract_scalar(requestparameters, '$.launchSpecification.imageId'))]),
        image -> image IS NOT NULL) AS ec2_imageids,
    json_extract_scalar(requestparameters, '$.repositoryName') AS ecr_repository,
    json_extract_scalar(requestparameters, '$.imageTag') AS ecr_imagetag,
    json_extract_scalar(requestparameters, '$.roleName') AS iam_role,
    json_extract_scalar(requestparameters, '$.policyName') AS iam_policy,
    account,
    region,
    day
FROM cloudtrail_logs
